"""Where the host keeps what its users' calls cost."""

from django.db import models


class LlmCall(models.Model):
    request_id = models.CharField(max_length=40, primary_key=True)
    principal = models.CharField(max_length=100)
    team = models.CharField(max_length=100)
    cost_usd = models.DecimalField(max_digits=24, decimal_places=15, null=True)

    class Meta:
        db_table = "calls"
