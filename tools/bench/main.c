/* main.c - epx-bench: everything but MPI, for which it gives way to epx-bench-mpi. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "common/launch.h"

#define HELPER "epx-bench-mpi"

static bool asks_for_mpi(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], "--vs=mpi") == 0 ||
            (strcmp(argv[i], "--vs") == 0 && i + 1 < argc && strcmp(argv[i + 1], "mpi") == 0))
            return true;
    return false;
}

/* How many of argv[i..] are about forking, which mpirun does by itself. */
static int words_about_forking(int argc, char **argv, int i)
{
    bool alone = strcmp(argv[i], "-n") == 0 || strcmp(argv[i], "--ranks") == 0 ||
                 strcmp(argv[i], "--nodes") == 0;

    if (alone)
        return i + 1 < argc ? 2 : 1;
    return strncmp(argv[i], "--ranks=", 8) == 0 || strncmp(argv[i], "--nodes=", 8) == 0 ||
           (strncmp(argv[i], "-n", 2) == 0 && argv[i][2] >= '0' && argv[i][2] <= '9');
}

static int tell_command(int argc, char **argv, uint64_t ranks)
{
    int i = 1;

    fprintf(stderr, "epx-bench: --vs mpi runs under mpirun only; type\n  mpirun -n %llu %s",
            (unsigned long long)ranks, HELPER);
    while (i < argc) {
        int skip = words_about_forking(argc, argv, i);

        if (skip == 0)
            fprintf(stderr, " %s", argv[i++]);
        i += skip;
    }
    fputs("\n(" HELPER " is built when MPI is there: apt-get install libopenmpi-dev)\n", stderr);
    return EXIT_ENVIRONMENT;
}

/* Under mpirun: the helper that lies beside this program, else the one in PATH. */
static int become_helper(char **argv)
{
    char self[4096], path[4200];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (bytes > 0) {
        self[bytes] = '\0';
        snprintf(path, sizeof(path), "%s/%s", dirname(self), HELPER);
        execv(path, argv);
    }
    execvp(HELPER, argv);
    fprintf(stderr, "epx-bench: %s: %s; it is built when MPI is there\n", HELPER, strerror(errno));
    return EXIT_ENVIRONMENT;
}

int main(int argc, char **argv)
{
    static const bench_host host = {.program = "epx-bench", .forks = true};
    const char *launcher = launch_environment();
    bench_settings set;
    int code;

    if (!asks_for_mpi(argc, argv))
        return bench_main(&host, argc, argv);
    code = settings_parse(&set, host.program, argc, argv); /* usage errors come first */
    if (code < 0) {
        if (launcher == NULL || set.ranks_given || strcmp(launcher, "torchrun") == 0)
            code = tell_command(argc, argv, set.ranks);
        else
            code = become_helper(argv);
    }
    settings_close(&set);
    return code;
}
