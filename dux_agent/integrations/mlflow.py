"""A run in MLflow: losses as metrics, decisions as files in Markdown."""

from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.integrations.listening import Listener


class MLflow(Listener):
    """Listens to a run's events and logs them as one run of MLflow; see `Listener`.

    Texts are artifacts, `decisions/0015.md` for what was decided at step 15.

    Attributes:
        run_id: of the run in MLflow.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        experiment: str = "dux-agent",
        name: str | None = None,
        folder: str | Path | None = None,
    ) -> None:
        """Begin a run.

        Args:
            tracking_uri: the store, such as "sqlite:///mlflow.db"; None: MLflow's own.
            experiment: made where there is none of that name.
            name: of the run; None: MLflow invents one.
            folder: the run folder, whose sources are then shown with the decisions.

        Raises:
            MissingExtra: mlflow is not installed.
            Whatever MLflow raises.
        """
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise MissingExtra.of(
                "mlflow", extra="mlflow", purpose="a run in MLflow"
            ) from None
        super().__init__(folder)
        self._client: Any = MlflowClient(tracking_uri)
        found = self._client.get_experiment_by_name(experiment)
        where = (
            self._client.create_experiment(experiment)
            if found is None
            else found.experiment_id
        )
        run = self._client.create_run(where, run_name=name)
        self.run_id: str = run.info.run_id

    def figure(self, name: str, value: float, at: int, time: float) -> None:
        """Log a metric."""
        self._client.log_metric(self.run_id, name, value, int(1000 * time), at)

    def text(self, name: str, told: str, at: int, time: float) -> None:
        """Log an artifact."""
        self._client.log_text(self.run_id, told, f"{name}/{at:04d}.md")

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self.run_id)
