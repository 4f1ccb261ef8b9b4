ARG PYTHON_IMAGE=python:3.12-slim-bookworm
FROM ${PYTHON_IMAGE}

# empty: the default (CUDA) builds, which run on a CPU as well; PyTorch's CPU index makes a smaller image
ARG TORCH_INDEX_URL=
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/lure/bin:$PATH

RUN python3 -m venv /opt/lure
WORKDIR /app

# what changes seldom comes first: a change of code does not fetch torch again
COPY pyproject.toml constraints.txt ./
RUN python -m pip install --quiet -c constraints.txt pip setuptools \
 && python -m pip install --quiet -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision \
 && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > /tmp/requirements.txt \
 && python -m pip install --quiet -c constraints.txt -r /tmp/requirements.txt

COPY . .
RUN python -m pip install --quiet --no-deps --no-build-isolation .

# the volume takes its owner from the folder that it is first mounted over
RUN useradd --system --create-home --uid 10001 lure && install -d -o lure -g lure /var/lib/lure/blobs
USER lure
ENV LURE_BLOBS=/var/lib/lure/blobs
EXPOSE 8000
CMD ["python", "-m", "service"]
