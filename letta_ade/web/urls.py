"""Addresses of the site-wide pages."""

from __future__ import annotations

from django.urls import include, path

from letta_ade.web import account, home, login, settings_pages

site = (
    [
        path("", home.home_page, name="home"),
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
        path("providers/", settings_pages.providers_page, name="providers"),
        path("about/", settings_pages.about_page, name="about"),
    ],
    "settings",
)

urlpatterns = [path("", include(site)), path("settings/", include(settings))]
