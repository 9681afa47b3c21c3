"""E-commerce services on the store: carts, sessions and a catalog over gRPC; `dynamo-shop`."""
