"""What a results file says of the machine and of the code it was measured on."""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def processor():
    """The processor's name, as Linux tells it."""
    with open("/proc/cpuinfo") as info:
        return next((line.split(":")[1].strip() for line in info if "model name" in line), "?")


def java():
    """The program java of JDK 25, as bench/jdk finds it; where there is none the script ends with what that says."""
    found = subprocess.run([str(HERE / "jdk"), pathlib.Path(sys.argv[0]).name], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(found.returncode)
    return str(pathlib.Path(found.stdout.rstrip("\n")) / "bin/java")


def revision(of="HEAD"):
    """The short hash of a commit, or of a folder in it such as HEAD:engine."""
    return subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", of], capture_output=True,
                          text=True).stdout.strip()
