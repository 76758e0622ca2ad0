from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0016_run_tokens_of_old'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('status__in', ['failed', 'cancelled'])), fields=['workspace', 'status', 'created_at', 'id'], name='run_by_rare_status'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('stop_reason__in', ['cancelled', 'error', 'invalid_llm_response', 'invalid_tool_call', 'llm_api_error', 'max_steps', 'max_tokens_exceeded', 'no_tool_call', 'requires_approval', 'tool_rule', 'insufficient_credits', 'context_window_overflow_in_system_prompt'])), fields=['workspace', 'stop_reason', 'created_at', 'id'], name='run_by_rare_stop_reason'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['workspace', 'total_tokens'], name='run_by_tokens'),
        ),
    ]
