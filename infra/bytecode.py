"""Byte code beside every source of a folder, valid without a look at the source (PEP 552).

    python -P -S infra/bytecode.py FOLDER PREFIX

Whatever Python the package is for runs this, and none of them has more than its own library.
"""

import compileall
import py_compile
import sys


def compile_folder(folder: str, prefix: str) -> bool:
    """Compile in this process; tracebacks name sources as if the folder were `prefix`."""
    done = compileall.compile_dir(
        folder,
        maxlevels=50,
        quiet=1,
        stripdir=folder,
        prependdir=prefix,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )
    return bool(done)


if __name__ == "__main__":
    sys.exit(not compile_folder(*sys.argv[1:]))
