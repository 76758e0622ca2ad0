"""Site-wide pages as a Django app."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "letta_ade.web"
    label = "web"
