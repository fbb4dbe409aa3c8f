/* communicator.h - a group of ranks: the root's transports seen by a subset, with own numbering. */
#ifndef EPX_COMM_COMMUNICATOR_H
#define EPX_COMM_COMMUNICATOR_H

#include "comm/root.h"

struct epx_comm {
    epx_root *root; /* owns when parent is NULL */
    epx_comm *next; /* in root->comms */
    epx_boot *boot; /* owns */
    int32_t rank, size;
    int32_t *root_rank; /* [size] owns; ascending only by (key, rank) */
    epx_grid grid;      /* of this communicator's ranks */
    bool is_root;
    bool leaving; /* its boot is quiet from now on */
};

/* On a simulated world: called inside each rank's coroutine. */
EPX_NODISCARD epx_status epx_comm_create_sim(epx_world *world, int32_t rank, epx_comm **comm_out);

/* Collective: a port id that no two ranks of comm have used between them. */
EPX_NODISCARD epx_status epx_comm_new_id(epx_comm *comm, uint32_t *id_out);

#endif /* EPX_COMM_COMMUNICATOR_H */
