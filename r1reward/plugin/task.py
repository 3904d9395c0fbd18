"""The task runner: the Ray actor that holds verl's trainer. The driver never imports verl."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from r1reward.store.rundir import RunDir


class TaskRunner:
    """Runs one training job inside the cluster, as verl's own ``TaskRunnerV1`` does.

    A class of our own because the proof of registration has to come before verl looks anything
    up, and because verl's is already a Ray actor class, which cannot be extended.
    """

    def run(self, config: Any) -> None:
        """Train to the last step; export the model when ``run.export`` says so."""
        run_dir = RunDir(Path(config.run.dir))
        run_dir.event("task_runner")
        import transfer_queue as tq

        config.transfer_queue.enable = True
        trainer, succeeded = None, False
        try:
            with ThreadPoolExecutor(1) as beside:  # its processes import while this one does
                queue = beside.submit(tq.init, config.transfer_queue)
                trainer_cls = self._trainer_class(config)
                queue.result()
            run_dir.event("imported")
            trainer = trainer_cls(config=config)
            trainer.init()
            from verl.trainer.ppo.v1 import AgentLoopManagerTQ

            agent_loops = AgentLoopManagerTQ.create(
                config=config,
                llm_client=trainer.get_llm_client(),
                teacher_client=trainer.get_teacher_client(),
                reward_loop_worker_handles=trainer.get_reward_handles(),
            )
            trainer.fit(agent_loops)
            succeeded = True
        finally:
            tracking = getattr(trainer, "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=0 if succeeded else 1)
            tq.close()
        if config.run.export:
            from r1reward.run.export import export

            run_dir.event("exporting")
            export(run_dir.root)
        run_dir.event("finished", step=run_dir.latest_step())

    def _trainer_class(self, config: Any) -> Any:
        """Import verl, and check registration and configuration."""
        from verl.trainer.ppo.utils import need_critic, need_reference_policy
        from verl.trainer.ppo.v1 import get_trainer_cls
        from verl.utils.config import validate_config
        from verl.utils.device import auto_set_device

        from r1reward.plugin.registration import assert_registered

        assert_registered(config)
        auto_set_device(config)
        validate_config(config, need_reference_policy(config), need_critic(config))
        return get_trainer_cls(config.trainer.v1.trainer_mode)
