"""dialoom trains Dia: recordings with transcripts in, a model that speaks them out."""
