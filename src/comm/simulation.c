/* simulation.c - epx_sim_run(): the public face of the simulated machine. */
#include <epx/sim.h>

#include "comm/communicator.h"
#include "comm/sim/world.h"
#include "core/structs.h"

typedef struct sim_run {
    epx_status (*body)(epx_comm *comm, void *arg);
    void *arg;
    epx_status *status;
} sim_run;

static void run_rank(epx_world *world, int32_t rank, void *arg)
{
    sim_run *run = arg;
    epx_comm *comm;
    epx_status st = epx_comm_create_sim(world, rank, &comm);

    if (st == EPX_OK) {
        st = run->body(comm, run->arg);
        epx_comm_destroy(comm);
    }
    run->status[rank] = epx_world_dead(world, rank) ? EPX_ERR_PEER_LOST : st;
}

epx_status epx_sim_run(const epx_sim_config *user, epx_status (*body)(epx_comm *comm, void *arg),
                       void *arg, epx_status *status_out, epx_sim_result *result_out)
{
    sim_run run = {.body = body, .arg = arg, .status = status_out};
    epx_sim_config cfg;
    epx_status st;

    if (body == NULL || status_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_sim_run: NULL argument");
    st = epx_struct_read("epx_sim_config", user, &cfg, sizeof(cfg));
    return st == EPX_OK ? epx_world_run(&cfg, run_rank, &run, result_out) : st;
}
