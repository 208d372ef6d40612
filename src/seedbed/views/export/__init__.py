"""The finished data as a folder for the Hugging Face hub: see `folder`."""
