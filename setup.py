"""Makes `pip install .` work beside an MMDetection 3.x that is already installed.

torch, mmcv, mmengine and mmdet are not required by name: MMDetection comes under two names (`mmdet`
and `onedl-mmdetection`, with the same import name), and pip would put the one named here over the
one that is there, or over a torch built for another GPU.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION: dict = {}
exec((ROOT / 'mmgradaug' / 'version.py').read_text(), VERSION)
README = ROOT / 'README.md'

setup(
    name='mmgradaug',
    version=VERSION['__version__'],
    description='GradAug for MMDetection: training with sub-networks as a regulariser',
    long_description=README.read_text(encoding='utf-8') if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmgradaug', 'mmgradaug.*']),
    package_data={'mmgradaug': ['py.typed', 'reporting/page.*']},
    python_requires='>=3.10',
    install_requires=[],
    extras_require={
        # tools/publish.py --to onnx
        'onnx': [
            'onnx',  # the file format (Apache-2.0)
            'onnxscript',  # torch.onnx translates with it (MIT)
            'onnxruntime',  # runs the file, to check it against torch (MIT)
        ],
    },
    zip_safe=False,
)
