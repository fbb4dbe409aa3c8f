/* link.c - what every link answers alike: arguments that cannot be right, and windows where there
 * are none. */
#include "comm/link/link.h"

#define MAX_PORT_ID (UINT32_C(1) << 28)
#define MAX_DEPTH 64

static epx_status check_peers(const char *link, const epx_port_config *cfg)
{
    int32_t i, before = -1;

    if (cfg->num_peers < 1 || cfg->peers == NULL)
        return epx_fail(EPX_ERR_INVALID, "%s port %u: %d peers", link, cfg->id, cfg->num_peers);
    for (i = 0; i < cfg->num_peers; i++) {
        if (cfg->peers[i] <= before)
            return epx_fail(EPX_ERR_INVALID, "%s port %u: peer %d is rank %d, after rank %d", link,
                            cfg->id, i, cfg->peers[i], before);
        before = cfg->peers[i];
    }
    return EPX_OK;
}

epx_status epx_port_check(const char *link, const epx_port_config *cfg)
{
    if (cfg->id >= MAX_PORT_ID)
        return epx_fail(EPX_ERR_INVALID, "%s port: id %u is not below %u", link, cfg->id,
                        MAX_PORT_ID);
    if (cfg->depth < 1 || cfg->depth > MAX_DEPTH)
        return epx_fail(EPX_ERR_INVALID, "%s port %u: depth %u is not in 1..%d", link, cfg->id,
                        cfg->depth, MAX_DEPTH);
    if (cfg->slot_bytes == 0 || cfg->slot_bytes % EPX_SLOT_ALIGN != 0)
        return epx_fail(EPX_ERR_INVALID, "%s port %u: slots of %zu bytes, not a multiple of %d",
                        link, cfg->id, cfg->slot_bytes, EPX_SLOT_ALIGN);
    return check_peers(link, cfg);
}

epx_status epx_window_check(const epx_link *link, const int32_t *peers, int32_t num_peers,
                            size_t bytes)
{
    const char *name = link->ops->name;
    bool found = false;
    int32_t i;

    if (bytes == 0 || num_peers < 1 || peers == NULL)
        return epx_fail(EPX_ERR_INVALID, "%s window: %zu bytes of %d peers", name, bytes,
                        num_peers);
    for (i = 0; i < num_peers; i++) {
        if (peers[i] < 0 || (i > 0 && peers[i] <= peers[i - 1]))
            return epx_fail(EPX_ERR_INVALID, "%s window: peer %d is rank %d", name, i, peers[i]);
        found |= peers[i] == link->rank;
    }
    if (!found)
        return epx_fail(EPX_ERR_INVALID, "%s window: rank %d is not among its peers", name,
                        link->rank);
    return EPX_OK;
}

epx_status epx_link_no_window(epx_link *link, const int32_t *peers, int32_t num_peers, size_t bytes,
                              epx_window **window_out)
{
    (void)peers;
    (void)num_peers;
    (void)window_out;
    return epx_fail(EPX_ERR_UNSUPPORTED, "%s maps no memory: no window of %zu bytes",
                    link->ops->name, bytes);
}

void epx_link_no_window_close(epx_window *window)
{
    (void)window;
}

void epx_link_no_ring(epx_link *link, int32_t peer)
{
    (void)link;
    (void)peer;
}
