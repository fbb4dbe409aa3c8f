/* main.c - epx-bench-mpi: epx-bench under mpirun, with MPI_Alltoallv to compare with.
 *
 * A rank of Open MPI that waits spins; with more ranks than cores that would be measured instead
 * of the exchange. So it yields, unless the user decides otherwise. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <epx/mpi.h>

#include "bench-mpi/flat.h"
#include "bench/bench.h"

static epx_status create(const epx_comm_config *cfg, epx_comm **comm_out)
{
    return epx_comm_create_mpi(MPI_COMM_WORLD, cfg, comm_out);
}

int main(int argc, char **argv)
{
    static char name[MPI_MAX_LIBRARY_VERSION_STRING];
    bench_peer peer = {.name = name,
                       .alltoall = flat_alltoall,
                       .open = flat_open,
                       .dispatch = flat_dispatch,
                       .experts = flat_experts,
                       .combine = flat_combine,
                       .rows = flat_rows,
                       .close = flat_close};
    bench_host host = {.program = "epx-bench-mpi", .peer = &peer, .create = create};
    int length, code;

    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    MPI_Init(&argc, &argv);
    MPI_Get_library_version(name, &length);
    name[strcspn(name, ",\n")] = '\0'; /* "Open MPI v4.1.4" without the rest */
    code = bench_main(&host, argc, argv);
    if (code > 1) /* the others may wait in MPI for this rank */
        MPI_Abort(MPI_COMM_WORLD, code);
    MPI_Finalize();
    return code;
}
