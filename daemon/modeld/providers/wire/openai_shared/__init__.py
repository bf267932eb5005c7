"""What the Chat Completions and the Responses wire have in common: errors, schemas, effort levels, parameters, media."""
