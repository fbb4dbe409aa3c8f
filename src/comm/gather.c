/* gather.c - collective calls of set-up: gather, barrier, and numbers that all ranks agree on. */
#include <stdio.h>

#include "comm/communicator.h"
#include "core/clock.h"
#include "core/mem.h"

typedef struct gather_work {
    epx_work work;
    epx_comm *comm;
    bool done;
    epx_status status;
} gather_work;

static bool gather_step(epx_work *work, uint64_t now)
{
    gather_work *gather = (gather_work *)work;
    epx_boot *boot = gather->comm->boot;
    bool did = boot->ops->step(boot);

    (void)now;
    gather->done = boot->ops->gather_done(boot, &gather->status);
    return did || gather->done;
}

static void gather_waiting(const epx_work *work, epx_waiting *out)
{
    const gather_work *gather = (const gather_work *)work;

    out->rank = gather->comm->rank == 0 ? -1 : gather->comm->root_rank[0];
    snprintf(out->what, sizeof(out->what), "a collective call of set-up");
}

static bool gather_over(void *arg)
{
    return ((const gather_work *)arg)->done;
}

epx_status epx_comm_allgather(epx_comm *comm, const void *mine, size_t bytes, void *all)
{
    gather_work gather = {.work = {.step = gather_step, .waiting = gather_waiting}, .comm = comm};
    epx_root *root;
    epx_status st;

    if (comm == NULL || (bytes != 0 && (mine == NULL || all == NULL)))
        return epx_fail(EPX_ERR_INVALID, "epx_comm_allgather: NULL argument");
    root = comm->root;
    epx_root_enter(root);
    st = epx_root_fault(root);
    if (st == EPX_OK)
        st = comm->boot->ops->gather_start(comm->boot, mine, bytes, all);
    if (st == EPX_OK) {
        gather.work.deadline = epx_deadline(epx_root_now(root), root->timeout_ms);
        epx_root_add(root, &gather.work);
        st = epx_root_drive(root, gather_over, &gather);
        epx_root_remove(root, &gather.work);
        if (st == EPX_OK)
            st = gather.status;
    }
    epx_root_leave(root);
    return st;
}

epx_status epx_comm_barrier(epx_comm *comm)
{
    return epx_comm_allgather(comm, NULL, 0, NULL);
}

epx_status epx_comm_new_id(epx_comm *comm, uint32_t *id_out)
{
    uint32_t mine = comm->root->next_id, *all, id = 0;
    epx_status st;
    int32_t i;

    all = epx_mem_alloc("port ids", (size_t)comm->size, sizeof(*all));
    if (all == NULL)
        return EPX_ERR_NO_MEMORY;
    st = epx_comm_allgather(comm, &mine, sizeof(mine), all);
    for (i = 0; i < comm->size; i++)
        if (all[i] > id)
            id = all[i];
    epx_mem_free(all);
    if (st != EPX_OK)
        return st;
    if (id >= (1u << 24))
        return epx_fail(EPX_ERR_OVERFLOW, "more than %u exchanges in the life of a communicator",
                        id);
    comm->root->next_id = id + 1;
    *id_out = id;
    return EPX_OK;
}
