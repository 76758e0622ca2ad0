"""Addresses of the site-wide pages."""

from __future__ import annotations

from django.urls import include, path

from letta_ade.web import account, home, login, palette, provider_models, provider_pages, settings_pages

site = (
    [
        path("", home.home_page, name="home"),
        path("search/", palette.search_page, name="search"),
        path("login/", login.sign_in, name="login"),
        path("logout/", login.sign_out, name="logout"),
    ],
    "web",
)
settings = (
    [
        path("", settings_pages.index, name="index"),
        path("account/", account.account_page, name="account"),
        path("keys/", settings_pages.keys_page, name="keys"),
        path("keys/<str:key_id>/revoke/", settings_pages.revoke_key, name="revoke_key"),
        path("providers/", provider_pages.providers_page, name="providers"),
        path("providers/new/", provider_pages.new_provider, name="new_provider"),
        path("providers/<str:provider_id>/", provider_pages.edit_provider, name="edit_provider"),
        path("providers/<str:provider_id>/delete/", provider_pages.delete_provider, name="delete_provider"),
        path(
            "providers/<str:provider_id>/disable/", provider_pages.disable_provider, name="disable_provider"
        ),
        path("providers/<str:key>/models/", provider_models.models_page, name="provider_models"),
        path("providers/<str:key>/models/hide/", provider_models.hide_model, name="hide_model"),
        path("about/", settings_pages.about_page, name="about"),
        path("about/sandbox/", settings_pages.isolation_of_tools, name="isolation"),
    ],
    "settings",
)

urlpatterns = [path("", include(site)), path("settings/", include(settings))]
