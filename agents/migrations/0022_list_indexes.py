from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0021_step_by_place'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='run',
            name='run_by_age',
        ),
        migrations.AddIndex(
            model_name='agent',
            index=models.Index(models.F('workspace'), models.OrderBy(models.F('last_run_completion'), descending=True, nulls_last=True), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('hidden', None), ('hidden', False), _connector='OR'), name='agent_listed_by_run'),
        ),
        migrations.AddIndex(
            model_name='agent',
            index=models.Index(condition=models.Q(('hidden', None), ('hidden', False), _connector='OR'), fields=['workspace', 'model'], name='agent_listed_by_model'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['workspace', 'created_at', 'id'], include=('status', 'ttft_ns'), name='run_by_age'),
        ),
    ]
