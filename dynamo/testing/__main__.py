"""`python -m dynamo.testing`."""

from dynamo.testing.cli import app

if __name__ == "__main__":
    app()
