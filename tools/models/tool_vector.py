"""What a tool means to an embedding model."""

from __future__ import annotations

from django.db import models
from pgvector.django import HalfVectorField


class ToolVector(models.Model):
    """Made when somebody searches (services/tool_vectors.py), in a narrow table of its own."""

    # The constraint begins with it.
    tool = models.ForeignKey("tools.Tool", on_delete=models.CASCADE, related_name="vectors", db_index=False)
    #: Handle of the embedding model: vectors of two models cannot be compared.
    model = models.CharField(max_length=255)
    #: Of the text that was embedded: a tool that says something else needs another vector.
    digest = models.CharField(max_length=64)
    dimensions = models.PositiveIntegerField()
    embedding = HalfVectorField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["tool", "model"], name="one_vector_of_a_model_for_a_tool")
        ]

    def __str__(self) -> str:
        return f"{self.tool_id} {self.model}"
