"""The pocket world: objects, scenes, captions, questions, patches, and the judge that knows the truth."""
