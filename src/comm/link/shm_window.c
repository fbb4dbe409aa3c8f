/* shm_window.c - windows: memory of each member, mapped by all of them. */
#include <string.h>
#include <unistd.h>

#include "comm/link/shm_link.h"
#include "core/mem.h"
#include "core/memfd.h"

static const char what[] = "shm window";

static epx_status alloc_window(epx_link *link, const int32_t *peers, int32_t num_peers,
                               size_t bytes, epx_window **window_out)
{
    epx_window *window = epx_mem_alloc(what, 1, sizeof(*window));

    if (window == NULL)
        return EPX_ERR_NO_MEMORY;
    window->link = link;
    window->bytes = bytes;
    window->num_peers = num_peers;
    window->peers = epx_mem_alloc(what, (size_t)num_peers, sizeof(*window->peers));
    window->base = epx_mem_alloc(what, (size_t)num_peers, sizeof(*window->base));
    if (window->peers == NULL || window->base == NULL) {
        epx_shm_window_close(window);
        return EPX_ERR_NO_MEMORY;
    }
    memcpy(window->peers, peers, (size_t)num_peers * sizeof(*peers));
    *window_out = window;
    return EPX_OK;
}

static epx_status map_all(epx_shm *shm, epx_window *window, int own_fd)
{
    epx_status st = EPX_OK;
    int32_t i;

    for (i = 0; i < window->num_peers && st == EPX_OK; i++) {
        int fd = window->peers[i] == shm->base.rank ? own_fd : shm->fds[i];

        st = epx_memfd_map(what, fd, window->bytes, &window->base[i]);
    }
    return st;
}

/* Both sides of a pair compute it alike: different groups never take each other's memory. */
static uint32_t group_id(const int32_t *peers, int32_t num_peers)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a, per rank */
    int32_t i;

    for (i = 0; i < num_peers; i++)
        hash = (hash ^ (uint32_t)peers[i]) * UINT32_C(16777619);
    return hash & ((UINT32_C(1) << 28) - 1);
}

epx_status epx_shm_window_open(epx_link *link, const int32_t *peers, int32_t num_peers,
                               size_t bytes, epx_window **window_out)
{
    epx_shm *shm = epx_shm_of(link);
    epx_window *window = NULL;
    epx_status st;
    int own_fd = -1;

    st = epx_window_check(link, peers, num_peers, bytes);
    if (st == EPX_OK)
        st = epx_shm_check_peers(shm, peers, num_peers);
    if (st != EPX_OK)
        return st;
    st = alloc_window(link, peers, num_peers, bytes, &window);
    if (st == EPX_OK)
        st = epx_memfd_create(what, bytes, &own_fd);
    st = epx_shm_pass(shm, EPX_SHM_WINDOW, group_id(peers, num_peers), peers, num_peers, &own_fd, 1,
                      st);
    if (st == EPX_OK && window != NULL) {
        st = map_all(shm, window, own_fd);
        epx_shm_close_fds(shm->fds, num_peers);
    }
    epx_shm_close_fds(&own_fd, 1);
    if (st != EPX_OK) {
        epx_shm_window_close(window);
        return st;
    }
    *window_out = window;
    return EPX_OK;
}

void epx_shm_window_close(epx_window *window)
{
    int32_t i;

    if (window == NULL)
        return;
    for (i = 0; window->base != NULL && i < window->num_peers; i++)
        epx_mem_release(window->base[i], window->bytes);
    epx_mem_free(window->base);
    epx_mem_free(window->peers);
    epx_mem_free(window);
}
