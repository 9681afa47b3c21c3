"""The public API in protocol buffers: each .proto file with its generated code beside it."""
