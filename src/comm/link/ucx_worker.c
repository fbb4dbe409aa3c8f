/* ucx_worker.c - context, worker and its descriptor: one of each per link, one owner at a time. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "comm/link/ucx_link.h"
#include "comm/link/ucx_port.h"
#include "comm/link/ucx_settings.h"
#include "core/log.h"

#define PROGRESS_TURNS 8 /* per call, so that other work gets its turn */

static epx_status fail_start(const epx_ucx_link *link, const epx_ucx_settings *settings,
                             const char *what, ucs_status_t status)
{
    const char *devices = epx_ucx_settings_get(settings, "UCX_NET_DEVICES");

    return epx_fail(EPX_ERR_SYSTEM, "UCX: %s with transports %s on device %s: %s", what,
                    settings->tls, *devices == '\0' ? "any" : devices,
                    link->api.ucs_status_string(status));
}

static epx_status make_context(epx_ucx_link *link, const epx_ucx_settings *settings)
{
    ucp_params_t params = {
        .field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_ESTIMATED_NUM_EPS,
        .features = UCP_FEATURE_TAG | UCP_FEATURE_AM | UCP_FEATURE_WAKEUP,
        .estimated_num_eps = (size_t)link->size,
    };
    ucp_config_t *config;
    ucs_status_t status;

    status = link->api.ucp_config_read(NULL, NULL, &config);
    if (status != UCS_OK)
        return fail_start(link, settings, "reading its configuration", status);
    if (settings->forced_tls)
        status = link->api.ucp_config_modify(config, "TLS", settings->tls);
    if (status == UCS_OK)
        status = link->api.ucp_init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config,
                                            &link->context);
    link->api.ucp_config_release(config);
    if (status != UCS_OK) {
        link->context = NULL;
        return fail_start(link, settings, "starting", status);
    }
    return EPX_OK;
}

static epx_status make_worker(epx_ucx_link *link, const epx_ucx_settings *settings)
{
    ucp_worker_params_t params = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
        .thread_mode = UCS_THREAD_MODE_SERIALIZED,
    };
    ucs_status_t status = link->api.ucp_worker_create(link->context, &params, &link->worker);

    if (status != UCS_OK) {
        link->worker = NULL;
        return fail_start(link, settings, "opening a worker", status);
    }
    status = link->api.ucp_worker_get_efd(link->worker, &link->efd);
    if (status != UCS_OK)
        return fail_start(link, settings, "getting the wake-up descriptor", status);
    return EPX_OK;
}

/* BBR paces each socket with its own timer and probes: bad for short bursts on many flows. */
static void log_congestion(const char *interface)
{
    char name[32] = "";
    ssize_t got;
    int fd;

    if (!epx_log_on(EPX_LOG_INFO))
        return;
    fd = open("/proc/sys/net/ipv4/tcp_congestion_control", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    got = read(fd, name, sizeof(name) - 1);
    close(fd);
    if (got > 0 && strncmp(name, "bbr", 3) == 0)
        epx_log(EPX_LOG_INFO,
                "tcp congestion control on %s is bbr: an exchange takes about a tenth longer than "
                "with cubic",
                *interface == '\0' ? "all interfaces" : interface);
}

static epx_status start_in_surroundings(epx_ucx_link *link, const epx_ucx_settings *settings,
                                        ucp_address_t **address_out, size_t *bytes_out)
{
    ucs_status_t status;
    epx_status st;

    st = epx_ucx_api_load(EPX_UCX_LIBRARY, &link->api);
    if (st == EPX_OK)
        st = make_context(link, settings);
    if (st == EPX_OK)
        st = make_worker(link, settings);
    if (st == EPX_OK)
        st = epx_ucx_listen(link);
    if (st != EPX_OK)
        return st;
    status = link->api.ucp_worker_get_address(link->worker, address_out, bytes_out);
    if (status != UCS_OK)
        return fail_start(link, settings, "getting its address", status);
    return EPX_OK;
}

epx_status epx_ucx_start(epx_ucx_link *link, epx_boot *boot, bool tcp_only,
                         ucp_address_t **address_out, size_t *bytes_out)
{
    epx_ucx_settings settings;
    epx_status st;

    epx_ucx_settings_choose(boot->address, boot->interface, tcp_only, &settings);
    st = epx_ucx_settings_enter(&settings);
    if (st != EPX_OK)
        return st;
    st = start_in_surroundings(link, &settings, address_out, bytes_out);
    epx_ucx_settings_leave(&settings);
    if (st != EPX_OK) {
        epx_ucx_stop(link);
        return st;
    }
    epx_log(EPX_LOG_INFO, "ucx %s with transports %s", link->api.ucp_get_version_string(),
            settings.tls);
    if (settings.tcp)
        log_congestion(boot->interface);
    return EPX_OK;
}

void epx_ucx_stop(epx_ucx_link *link)
{
    if (link->worker != NULL)
        link->api.ucp_worker_destroy(link->worker);
    link->worker = NULL;
    if (link->context != NULL)
        link->api.ucp_cleanup(link->context);
    link->context = NULL;
    epx_ucx_api_unload(&link->api);
}

bool epx_ucx_progress(epx_link *base)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    bool moved = false;
    int i;

    for (i = 0; i < PROGRESS_TURNS && link->api.ucp_worker_progress(link->worker) != 0; i++)
        moved = true;
    if (link->any_broken)
        epx_ucx_bury(link);
    if (link->due != NULL)
        epx_ucx_send_due(link);
    if (link->parked != NULL)
        epx_ucx_reap(link, false);
    return moved;
}

bool epx_ucx_arm(epx_link *base)
{
    epx_ucx_link *link = (epx_ucx_link *)base;

    if (link->any_broken || epx_ucx_has_news(link))
        return false;
    /* BUSY: events are waiting for progress. */
    return link->api.ucp_worker_arm(link->worker) == UCS_OK;
}

int epx_ucx_fds(const epx_link *base, int *fds)
{
    fds[0] = ((const epx_ucx_link *)base)->efd;
    return 1;
}

void epx_ucx_woken(epx_link *base)
{
    (void)base;
}
