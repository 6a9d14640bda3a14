#!/usr/bin/env python3
"""TAP: a C and a C++ program build, link and run against an installed tree only.

usage: check_install.py SOURCE BUILD CC CXX

Installs the build with DESTDIR into a temporary directory, finds the libraries by pkg-config there, and builds with no other
include path.
"""
import os
import shutil
import subprocess
import sys
import tempfile

RMQ_PROGRAM = r"""
#include <rmq/admin.h>
#include <rmq/consumer.h>
#include <rmq/devbroker.h>
#include <rmq/producer.h>
#include <stdio.h>
int main(void)
{
    rmq_client *client = NULL;
    rmq_error err;
    rmq_devbroker *broker = NULL;
    if (rmq_client_new(NULL, &client, &err) != RMQ_OK || rmq_devbroker_new(NULL, &broker, &err) != RMQ_OK)
        return 1;
    rmq_client_free(client);
    rmq_devbroker_free(broker);
    return puts(rmq_version()) < 0;
}
"""
MILL_PROGRAM = r"""
#include <mill/sink.h>
#include <mill/store.h>
#include <mill/stream.h>
#include <stdio.h>
int main(void)
{
    mill_context *context = NULL;
    rmq_error err;
    int64_t rows[3] = {1, 2, 3};
    uint64_t count = 0;
    if (mill_context_new(NULL, &context, &err) != RMQ_OK)
        return 1;
    mill_dataset *dataset = mill_dataset_from_rows(context, mill_type_int64(), rows, 3, 0, &err);
    if (mill_count(dataset, &count, &err) != RMQ_OK || count != 3)
        return 1;
    mill_context_free(context);
    return puts(mill_version()) < 0;
}
"""


def run(command, environment):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout.decode(errors="replace")


def main():
    source, build, cc, cxx = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4].split()
    work = tempfile.mkdtemp(prefix="millrace-install-")
    environment = dict(os.environ, DESTDIR=work)
    sanitizer = [flag for flag in os.environ.get("MILLRACE_LINK_FLAGS", "").split() if flag]
    checks = []
    try:
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet"], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        found = [folder for folder, _, names in os.walk(work) if "rmq.pc" in names]
        checks.append(("pkg-config files for rmq and millrace are installed",
                       bool(found) and os.path.exists(os.path.join(found[0], "millrace.pc")), ""))
        environment.update(PKG_CONFIG_PATH=found[0] if found else "", PKG_CONFIG_SYSROOT_DIR=work)
        library_path = os.path.dirname(found[0]) if found else work
        environment.update(LD_LIBRARY_PATH=library_path)
        for package, text in (("rmq", RMQ_PROGRAM), ("millrace", MILL_PROGRAM)):
            flags = run(["pkg-config", "--cflags", "--libs", package], environment)[1].split()
            for language, compiler, suffix in (("C", cc + ["-std=c11"], ".c"), ("C++", cxx + ["-std=c++17"], ".cc")):
                program = os.path.join(work, package + suffix)
                with open(program, "w") as out:
                    out.write(text)
                good, output = run([*compiler, "-Wall", "-Werror", program, "-o", program + ".out", *sanitizer, *flags],
                                   environment)
                if good:
                    good, output = run([program + ".out"], environment)
                checks.append(("a %s program on %s builds and runs" % (language, package), good, output))
        program = [os.path.join(folder, "millrace") for folder, _, names in os.walk(work) if "millrace" in names
                   and os.path.basename(folder) == "bin"]
        checks.append(("the program is installed and tells its version",
                       bool(program) and run([program[0], "--version"], environment)[0], ""))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("1..%d" % len(checks))
    for number, (name, good, output) in enumerate(checks, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", number, name))
        if not good:
            print("# " + output.replace("\n", "\n# "))


if __name__ == "__main__":
    main()
