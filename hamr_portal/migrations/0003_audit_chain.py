"""Chain the audit log: what was recorded before is signed as it stands now."""

from datetime import UTC

from django.conf import settings
from django.db import migrations, models

from hamr_portal.crypto import load_ring
from hamr_portal.domain.chain import BEGINNING, FIELDS, hash_of
from hamr_portal.models import guards


def sign(apps, schema_editor):
    """Sign what was recorded so far. Raises `KeyRingUnusable`, which says what to do."""
    entries = apps.get_model("hamr_portal", "AuditEntry").objects.order_by("seq")
    if not entries.exists():
        return
    ring = load_ring(settings.KEY_RING_FILE)
    previous = BEGINNING
    for entry in entries.iterator():
        entry.key_id, entry.previous = ring.primary, previous
        signed = {name: getattr(entry, name) for name in FIELDS}
        signed["at"] = entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        entry.hash = previous = hash_of(ring.audit_keys[ring.primary], signed)
        entry.save(update_fields=["key_id", "previous", "hash"])


def unguard(apps, schema_editor):
    """Take the guards away, which name what is about to go."""
    guards.lift(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [
        ('hamr_portal', '0002_changes'),
    ]

    operations = [
        migrations.CreateModel(
            name='LogStanding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.BigIntegerField(default=0)),
                ('hash', models.CharField(max_length=64)),
                ('verified_at', models.DateTimeField(null=True)),
                ('again_seq', models.BigIntegerField(default=0)),
                ('again_hash', models.CharField(max_length=64)),
                ('trouble', models.CharField(blank=True, default='', max_length=32)),
                ('detail', models.CharField(blank=True, default='', max_length=300)),
                ('broken_seq', models.BigIntegerField(default=0)),
                ('since', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name='auditentry',
            name='actor_agent',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
        migrations.AddField(
            model_name='auditentry',
            name='actor_signed_in',
            field=models.CharField(blank=True, default='', max_length=100),
        ),
        migrations.AddField(
            model_name='auditentry',
            name='hash',
            field=models.CharField(default='', max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='key_id',
            field=models.CharField(default='', max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='previous',
            field=models.CharField(default='', max_length=64),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['organization', 'seq'], name='audit_of_organization'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['actor_name', 'seq'], name='audit_of_actor'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['event', 'seq'], name='audit_of_event'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['organization', 'actor_name', 'seq'], name='audit_of_both'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['at', 'seq'], name='audit_at'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['organization', 'at', 'seq'], name='audit_of_organization_at'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['actor_name', 'at', 'seq'], name='audit_of_actor_at'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['organization', 'actor_name', 'at', 'seq'], name='audit_of_both_at'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['outcome', 'seq'], name='audit_of_outcome'),
        ),
        migrations.AddConstraint(
            model_name='logstanding',
            constraint=models.CheckConstraint(condition=models.Q(('pk', 1)), name='log_standing_one_row'),
        ),
        migrations.RunPython(sign, unguard),
    ]
