"""first tables"""

import sqlalchemy as sa
from alembic import op

from app.db.engine import UtcDateTime, db_now
from app.db.tables import Json

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('counters',
    sa.Column('name', sa.String(length=32), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('datasets',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('format', sa.String(length=16), nullable=False),
    sa.Column('rows', sa.BigInteger(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('splits', Json, nullable=True),
    sa.Column('columns', Json, nullable=False),
    sa.Column('rejected', Json, nullable=False),
    sa.Column('cleaning', Json, nullable=False),
    sa.Column('blob_prefix', sa.String(length=255), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('idempotency_keys',
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('suffix', sa.String(length=32), nullable=False),
    sa.Column('request_sha256', sa.String(length=64), nullable=True),
    sa.Column('status', sa.BigInteger(), nullable=True),
    sa.Column('headers', Json, nullable=True),
    sa.Column('body', sa.Text(), nullable=True),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'key')
    )
    op.create_table('jobs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('recipe', sa.String(length=64), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('priority', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.BigInteger(), nullable=False),
    sa.Column('failures', sa.BigInteger(), nullable=False),
    sa.Column('max_failures', sa.BigInteger(), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('updated_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('started_at', UtcDateTime(), nullable=True),
    sa.Column('finished_at', UtcDateTime(), nullable=True),
    sa.Column('run_after', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('rung_at', UtcDateTime(), nullable=True),
    sa.Column('lease_owner', sa.String(length=128), nullable=True),
    sa.Column('lease_expires_at', UtcDateTime(), nullable=True),
    sa.Column('cancel_requested_at', UtcDateTime(), nullable=True),
    sa.Column('cancel_keep', sa.String(length=8), nullable=True),
    sa.Column('pause_requested_at', UtcDateTime(), nullable=True),
    sa.Column('stop_reason', sa.String(length=32), nullable=True),
    sa.Column('trained_seconds', sa.Double(), nullable=False),
    sa.Column('event_seq', sa.BigInteger(), nullable=False),
    sa.Column('request', Json, nullable=False),
    sa.Column('resolved', Json, nullable=False),
    sa.Column('metadata', Json, nullable=False),
    sa.Column('warnings', Json, nullable=False),
    sa.Column('progress', Json, nullable=True),
    sa.Column('metrics', Json, nullable=False),
    sa.Column('fit', Json, nullable=True),
    sa.Column('evaluation', Json, nullable=True),
    sa.Column('error', Json, nullable=True),
    sa.Column('model_name', sa.String(length=64), nullable=False),
    sa.Column('model_version', sa.BigInteger(), nullable=True),
    sa.Column('retry_of', sa.String(length=40), nullable=True),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.CheckConstraint("state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')", name='ck_jobs_state'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index('ix_jobs_lease', ['state', 'lease_expires_at'], unique=False)
        batch_op.create_index('ix_jobs_queue', ['state', 'priority', 'id'], unique=False)

    op.create_table('model_aliases',
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('alias', sa.String(length=64), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'name', 'alias')
    )
    op.create_table('model_versions',
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('recipe', sa.String(length=64), nullable=True),
    sa.Column('job_id', sa.String(length=40), nullable=True),
    sa.Column('dataset_id', sa.String(length=40), nullable=True),
    sa.Column('base', sa.String(length=128), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('metrics', Json, nullable=False),
    sa.Column('signature', Json, nullable=False),
    sa.Column('manifest', Json, nullable=False),
    sa.Column('parameters', sa.BigInteger(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('runtime', sa.String(length=16), nullable=False),
    sa.Column('blob_prefix', sa.String(length=255), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'name', 'version'),
    sa.UniqueConstraint('job_id')
    )
    op.create_table('models',
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('last_version', sa.BigInteger(), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'name')
    )
    op.create_table('workers',
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('pid', sa.BigInteger(), nullable=False),
    sa.Column('slots', sa.BigInteger(), nullable=False),
    sa.Column('devices', Json, nullable=False),
    sa.Column('release', sa.String(length=32), nullable=False),
    sa.Column('started_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('last_seen_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('job_attempts',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('attempt', sa.BigInteger(), nullable=False),
    sa.Column('worker', sa.String(length=128), nullable=False),
    sa.Column('pid', sa.BigInteger(), nullable=True),
    sa.Column('started_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('ended_at', UtcDateTime(), nullable=True),
    sa.Column('outcome', sa.String(length=32), nullable=True),
    sa.Column('exit_code', sa.BigInteger(), nullable=True),
    sa.Column('signal', sa.BigInteger(), nullable=True),
    sa.Column('peak_memory_bytes', sa.BigInteger(), nullable=True),
    sa.Column('fingerprint', Json, nullable=True),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'attempt')
    )
    op.create_table('job_checkpoints',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('attempt', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('is_best', sa.Boolean(), nullable=False),
    sa.Column('metrics', Json, nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('blob_prefix', sa.String(length=255), nullable=False),
    sa.Column('created_at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'attempt', 'step')
    )
    op.create_table('job_datasets',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('dataset_id', sa.String(length=40), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'role')
    )
    with op.batch_alter_table('job_datasets', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_job_datasets_dataset_id'), ['dataset_id'], unique=False)

    op.create_table('job_events',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(length=48), nullable=False),
    sa.Column('at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('data', Json, nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('job_id', 'seq', name='uq_job_events_seq')
    )
    op.create_table('job_metrics',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('split', sa.String(length=16), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.BigInteger(), nullable=False),
    sa.Column('values', Json, nullable=False),
    sa.Column('at', UtcDateTime(), server_default=db_now(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'split', 'epoch', 'step')
    )


def downgrade() -> None:
    op.drop_table('job_metrics')
    op.drop_table('job_events')
    with op.batch_alter_table('job_datasets', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_job_datasets_dataset_id'))

    op.drop_table('job_datasets')
    op.drop_table('job_checkpoints')
    op.drop_table('job_attempts')
    op.drop_table('workers')
    op.drop_table('models')
    op.drop_table('model_versions')
    op.drop_table('model_aliases')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_queue')
        batch_op.drop_index('ix_jobs_lease')

    op.drop_table('jobs')
    op.drop_table('idempotency_keys')
    op.drop_table('datasets')
    op.drop_table('counters')
