"""Template tags and filters that format."""

from django import template

register = template.Library()
