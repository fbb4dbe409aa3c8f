/* shm_pass.c - descriptors travel between members over the mesh, whenever they open something
 * together.
 *
 * Every pair counts its openings, and a message's tag holds subject, id and that number: left-overs
 * of a failed opening never match. A rank that failed before still sends, something that is no
 * memory, so that its peers learn it at once instead of waiting for their deadlines. */
#include <unistd.h>

#include "comm/link/shm_link.h"
#include "core/clock.h"

#define SUBJECT_SHIFT 60
#define ID_SHIFT 32

static uint64_t tag_of(epx_shm_subject subject, uint32_t id, uint32_t number)
{
    return (uint64_t)(subject + 1) << SUBJECT_SHIFT | (uint64_t)id << ID_SHIFT | number;
}

void epx_shm_close_fds(int *fds, int32_t count)
{
    int32_t i;

    for (i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* Sends to all peers, whatever happens to one of them; returns the first failure. */
static epx_status send_all(epx_shm *shm, uint64_t tag, const int32_t *peers, int32_t count,
                           const int *fds, int num_fds, uint64_t until)
{
    epx_status st, first = EPX_OK;
    int32_t i;

    for (i = 0; i < count; i++) {
        epx_shm_member *member = epx_shm_find(shm, peers[i]);

        if (member == epx_shm_self(shm))
            continue;
        st = epx_mesh_send_fds(shm->mesh, peers[i], tag | member->opens, fds, num_fds, until);
        if (first == EPX_OK)
            first = st;
    }
    return first;
}

static epx_status receive_all(epx_shm *shm, uint64_t tag, const int32_t *peers, int32_t count,
                              int *theirs, int num_fds, uint64_t until)
{
    epx_status st, first = EPX_OK;
    int32_t i;

    for (i = 0; i < count; i++) {
        epx_shm_member *member = epx_shm_find(shm, peers[i]);

        if (member == epx_shm_self(shm))
            continue;
        st = epx_mesh_recv_fds(shm->mesh, peers[i], tag | member->opens, theirs + i * num_fds,
                               num_fds, until);
        member->opens++;
        if (first == EPX_OK)
            first = st;
    }
    return first;
}

epx_status epx_shm_pass(epx_shm *shm, epx_shm_subject subject, uint32_t id, const int32_t *peers,
                        int32_t count, const int *mine, int num_fds, epx_status st)
{
    uint64_t until = epx_deadline(epx_clock_ns(), shm->timeout_ms);
    uint64_t tag = tag_of(subject, id, 0);
    int none[EPX_SHM_MAX_PASS];
    epx_status sent, received;
    int32_t i;

    for (i = 0; i < count * num_fds; i++)
        shm->fds[i] = -1;
    for (i = 0; i < num_fds; i++)
        none[i] = epx_shm_self(shm)->bell_fd;
    sent = send_all(shm, tag, peers, count, st == EPX_OK ? mine : none, num_fds, until);
    received = receive_all(shm, tag, peers, count, shm->fds, num_fds, until);
    if (st == EPX_OK)
        st = sent != EPX_OK ? sent : received;
    if (st != EPX_OK)
        epx_shm_close_fds(shm->fds, count * num_fds);
    return st;
}
