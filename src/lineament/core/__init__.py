"""Values and promises. Imports numpy and nothing else of weight."""
