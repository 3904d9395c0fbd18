"""The task runner: the Ray actor that holds verl's trainer. The driver never imports verl."""

from pathlib import Path
from typing import Any

from r1reward.runs import RunDir


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
        tq.init(config.transfer_queue)
        trainer, succeeded = None, False
        try:
            trainer_cls = self._trainer_class(config)
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
            from r1reward.export import export

            run_dir.event("exporting")
            export(run_dir.root)
        run_dir.event("finished", step=run_dir.latest_step())

    def _trainer_class(self, config: Any) -> Any:
        """Import verl, let idle workers do the same, and check registration and configuration."""
        from r1reward.plugin import prewarm

        agents = int(config.actor_rollout_ref.rollout.agent.num_workers)
        servers = _engines(config.trainer, config.actor_rollout_ref.rollout)
        if config.reward.reward_model.enable:  # judge=hosted
            judge = config.reward.reward_model
            servers += _engines(judge, judge.rollout)
        prewarm.prewarm(prewarm.REWARD, int(config.reward.num_workers))
        environment = prewarm.server_environment()
        prewarm.prewarm(prewarm.SERVER, servers, environment)
        prewarm.prewarm(prewarm.AGENT, agents + 1)  # one more for the load balancer

        from verl.trainer.ppo.utils import need_critic, need_reference_policy
        from verl.trainer.ppo.v1 import get_trainer_cls
        from verl.utils.config import validate_config
        from verl.utils.device import auto_set_device

        from r1reward.plugin.registration import assert_registered

        assert_registered(config)
        auto_set_device(config)
        validate_config(config, need_reference_policy(config), need_critic(config))
        return get_trainer_cls(config.trainer.v1.trainer_mode)


def _engines(machines: Any, rollout: Any) -> int:
    gpus = int(machines.nnodes * machines.n_gpus_per_node)
    return gpus // int(rollout.tensor_model_parallel_size)
