"""A sentence encoder from a folder of this machine, run by the library sentence-transformers.

Dimension keys: N sentences, E width.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.safetensors import refuse_pickle
from flexlam_jax.errors import UserError

# Read when the libraries are imported; they would ask for newer versions of what is here.
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
_LIBRARIES = ("sentence_transformers", "transformers", "torch")


class SentenceEncoder:
    """Made by `open_encoder`.

    Attributes:
      name: of its folder.     fingerprint: sha256 of its parameters.     versions: of what runs it.
    """

    def __init__(self, name: str, model: Any):
        self._model, self.name = model, name
        parameters = model.named_parameters()
        self.fingerprint = parameters_hash(
            {key: value.detach().float().numpy() for key, value in parameters}
        )
        loaded = {library: sys.modules.get(library) for library in _LIBRARIES}
        self.versions = ", ".join(
            f"{library} {module.__version__}" for library, module in loaded.items() if module
        )

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """float32 (N, E), as the library's own `encode` gives them.

        Raises:
          UserError: numbers that are not finite.
        """
        vectors = self._model.encode(
            list(sentences), convert_to_numpy=True, show_progress_bar=False
        )
        vectors = np.asarray(vectors, np.float32).reshape(len(sentences), -1)
        if not np.isfinite(vectors).all():
            raise UserError(
                f"--encoder={self.name} gives numbers that are not finite; fetch it again"
            )
        return vectors


def open_encoder(folder: str) -> SentenceEncoder:
    """The encoder in a folder, on the CPU; nothing is fetched or unpickled, and no code of it is run.

    Raises:
      UserError: there is none, or one in pickles; the library is missing, or cannot open the folder.
    """
    place = Path(folder).expanduser()
    if not (place / "modules.json").is_file():
        raise UserError(
            f"--encoder={folder} holds no modules.json, so it is no folder of sentence-transformers. "
            "Nothing is fetched here: where there is a network, `hf download sentence-transformers/"
            "all-MiniLM-L6-v2 --local-dir=FOLDER` does so, and sentence-t5-base is another one"
        )
    for file in sorted(place.rglob("pytorch_model*.bin")):
        if not any(file.parent.glob("*.safetensors")):
            refuse_pickle(file)
    os.environ.update(_OFFLINE)
    try:
        import sentence_transformers
    except ImportError as error:
        raise UserError(
            "sentences are encoded with sentence-transformers, which cannot be imported "
            f"({error}); run `pip install 'flexlam_jax[text]'`, in an environment of its own if you "
            "like: training and acting read the table alone"
        ) from error
    try:
        model = sentence_transformers.SentenceTransformer(
            str(place),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise UserError(
            f"--encoder={folder} cannot be opened by sentence-transformers "
            f"{sentence_transformers.__version__}: {told}; fetch the folder again, with its "
            ".safetensors file, or update the library"
        ) from error
    return SentenceEncoder(place.absolute().name, model.eval())
