"""OpenAI Responses upstreams: requests and answers translated, with nothing lost in silence."""
