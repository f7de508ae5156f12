"""The script for web pages: its sources in TypeScript, the one file that is made of them, and how it is handed out."""
