# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc"
"""Creates the tables of windows, holds, keys, calls and sums."""

from typing import Any, ClassVar

from django.db import migrations, models

from nexusflow_asgi.contrib.django.models import ExactCharField, ExactTextField


class Migration(migrations.Migration):
    """The first tables."""

    initial = True

    dependencies: ClassVar[list[Any]] = []

    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Key",
            fields=[
                (
                    "id",
                    ExactCharField(max_length=16, primary_key=True, serialize=False),
                ),
                ("hash", models.CharField(max_length=64)),
                ("name", models.CharField(max_length=200)),
                ("account", ExactCharField(max_length=16)),
                ("created_at", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField(null=True)),
                ("revoked_at", models.BigIntegerField(null=True)),
                ("models", models.TextField()),
                ("scopes", models.TextField()),
                ("caps", models.TextField()),
                ("metadata", models.TextField()),
                ("parent", ExactCharField(max_length=16, null=True)),
                ("replaced_by", ExactCharField(max_length=16, null=True)),
            ],
            options={
                "db_table": "nexusflow_keys",
            },
        ),
        migrations.CreateModel(
            name="Call",
            fields=[
                (
                    "request_id",
                    ExactCharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("started_ms", models.BigIntegerField()),
                ("duration_ms", models.BigIntegerField()),
                ("first_byte_ms", models.BigIntegerField(null=True)),
                ("endpoint", models.CharField(max_length=20)),
                ("stream", models.BooleanField()),
                ("model", models.CharField(max_length=200)),
                ("response_model", models.CharField(max_length=200, null=True)),
                ("upstream", models.CharField(max_length=200, null=True)),
                ("upstream_model", models.CharField(max_length=200, null=True)),
                ("route", models.CharField(max_length=200, null=True)),
                ("attempts", models.BigIntegerField()),
                ("principal", ExactCharField(max_length=200, null=True)),
                ("scopes", ExactTextField(blank=True)),
                ("metadata", models.TextField(blank=True)),
                ("session_id", ExactCharField(max_length=200, null=True)),
                ("agent_id", models.CharField(max_length=200, null=True)),
                ("status", models.BigIntegerField(null=True)),
                ("ending", models.CharField(max_length=16)),
                ("error_type", models.CharField(max_length=200, null=True)),
                ("error_code", models.CharField(max_length=200, null=True)),
                ("stop_reason", models.CharField(max_length=200, null=True)),
                ("usage_source", models.CharField(max_length=16)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("cache_read_tokens", models.BigIntegerField(null=True)),
                ("cache_write_5m_tokens", models.BigIntegerField(null=True)),
                ("cache_write_1h_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("web_searches", models.BigIntegerField(null=True)),
                ("cost_nano", models.BigIntegerField(null=True)),
                ("cost_rest", models.BigIntegerField(null=True)),
                ("saved_nano", models.BigIntegerField(null=True)),
                ("saved_rest", models.BigIntegerField(null=True)),
                ("extra_nano", models.BigIntegerField(null=True)),
                ("extra_rest", models.BigIntegerField(null=True)),
                ("price_row", models.CharField(max_length=200, null=True)),
                ("price_vendor", models.CharField(max_length=200, null=True)),
                ("cost_flags", models.CharField(max_length=200)),
                ("details", models.TextField(blank=True)),
            ],
            options={
                "db_table": "nexusflow_calls",
                "indexes": [
                    models.Index(fields=["started_ms", "request_id"], name="nexusflow_calls_started"),
                    models.Index(fields=["principal", "started_ms"], name="nexusflow_calls_principal"),
                    models.Index(fields=["session_id", "started_ms"], name="nexusflow_calls_session"),
                    models.Index(fields=["ending", "started_ms"], name="nexusflow_calls_ending"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request_id", ExactCharField(max_length=64)),
                ("window", ExactCharField(max_length=255)),
                ("amount", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField()),
                ("lost", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "nexusflow_holds",
                "indexes": [models.Index(fields=["expires_at"], name="nexusflow_holds_expires_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("request_id", "window"), name="nexusflow_holds_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Spending",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.BigIntegerField()),
                ("scope", ExactCharField(blank=True, max_length=120)),
                ("model", ExactCharField(blank=True, max_length=200)),
                ("calls", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("refused", models.BigIntegerField(default=0)),
                ("unpriced", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("cost_nano", models.BigIntegerField(default=0)),
                ("cost_rest", models.BigIntegerField(default=0)),
                ("saved_nano", models.BigIntegerField(default=0)),
                ("saved_rest", models.BigIntegerField(default=0)),
                ("extra_nano", models.BigIntegerField(default=0)),
                ("extra_rest", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "spending",
                "db_table": "nexusflow_spending",
                "indexes": [models.Index(fields=["scope", "day"], name="nexusflow_spending_scope")],
                "constraints": [
                    models.UniqueConstraint(fields=("day", "scope", "model"), name="nexusflow_spending_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Window",
            fields=[
                (
                    "key",
                    ExactCharField(max_length=255, primary_key=True, serialize=False),
                ),
                ("scope", ExactCharField(max_length=120)),
                ("unit", models.CharField(max_length=10)),
                ("period", models.CharField(max_length=20)),
                ("starts_at", models.BigIntegerField()),
                ("ends_at", models.BigIntegerField(null=True)),
                ("used", models.BigIntegerField(default=0)),
                ("rest", models.BigIntegerField(default=0)),
                ("held", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "nexusflow_windows",
                "indexes": [models.Index(fields=["scope", "ends_at"], name="nexusflow_windows_scope")],
            },
        ),
    ]
