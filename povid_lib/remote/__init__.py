"""Asking a remote model over OpenAI's protocol: settings, connection, journal of answers and money, the loop within the limit."""
