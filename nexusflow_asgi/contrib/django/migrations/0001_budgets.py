# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc"
"""Creates the tables of windows and holds."""

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first tables."""

    initial = True

    dependencies: ClassVar[list[Any]] = []

    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request_id", models.CharField(max_length=64)),
                ("window", models.CharField(max_length=255)),
                ("amount", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField()),
                ("lost", models.BooleanField(default=False)),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="nexusflow_holds_expires_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("request_id", "window"), name="nexusflow_holds_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Window",
            fields=[
                ("key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("scope", models.CharField(max_length=120)),
                ("unit", models.CharField(max_length=10)),
                ("period", models.CharField(max_length=20)),
                ("starts_at", models.BigIntegerField()),
                ("ends_at", models.BigIntegerField(null=True)),
                ("used", models.BigIntegerField(default=0)),
                ("rest", models.BigIntegerField(default=0)),
                ("held", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["scope", "ends_at"], name="nexusflow_windows_scope")],
            },
        ),
    ]
