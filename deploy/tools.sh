# For the scripts of this folder: finds the target directory and installs programs that are missing.

target_directory=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
tools=$target_directory/test-tools
export PATH=$PATH:$tools/bin:/usr/sbin

# Installs a program as a package of PyPI, in the version of .config/deploy-tools.txt.
need_tool() { # command, package
    command -v "$1" > /dev/null && return
    [ -x "$tools/bin/python" ] || python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep "^$2==" .config/deploy-tools.txt)"
}

# Installs a module for `$tools/bin/python` in the same way.
need_module() { # module, package
    "$tools/bin/python" -c "import $1" 2> /dev/null && return
    [ -x "$tools/bin/python" ] || python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep "^$2==" .config/deploy-tools.txt)"
}

# Installs a program as a package of Debian.
need_debian() { # command, package
    command -v "$1" > /dev/null && return
    local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$2" > /dev/null
}
