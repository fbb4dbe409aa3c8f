/* ucx_settings.c - choosing UCX's configuration: the user's word first, then measured defaults. */
#include "comm/link/ucx_settings.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/env.h"

/* Guards the environment of this process, which UCX makes part of its interface. */
static pthread_mutex_t environment = PTHREAD_MUTEX_INITIALIZER;

static bool has_fabric(void)
{
    DIR *dir = opendir("/sys/class/infiniband");
    struct dirent *entry;
    bool found = false;

    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL)
        found = entry->d_name[0] != '.';
    closedir(dir);
    return found;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* True for "tcp" and for lists of tcp and self: no lane that would want other thresholds. */
static bool is_tcp_only(const char *tls)
{
    size_t length;

    for (; *tls != '\0'; tls += length + (tls[length] == ',')) {
        length = strcspn(tls, ",");
        if (!(length == 3 && memcmp(tls, "tcp", 3) == 0) &&
            !(length == 4 && memcmp(tls, "self", 4) == 0))
            return false;
    }
    return true;
}

static void add(epx_ucx_settings *settings, const char *name, const char *value)
{
    epx_ucx_setting *setting = &settings->list[settings->count++];

    setting->name = name;
    (void)snprintf(setting->value, sizeof(setting->value), "%s", value);
}

static void choose_tls(epx_ucx_settings *settings, bool must_be_tcp)
{
    const char *forced = epx_env_text(EPX_ENV_UCX_TLS);
    const char *users = getenv("UCX_TLS");

    if (*forced != '\0') {
        settings->tls = forced;
        settings->forced_tls = true;
    } else if (users != NULL) {
        settings->tls = users;
    } else if (must_be_tcp) {
        settings->tls = "tcp";
        add(settings, "UCX_TLS", "tcp");
    } else {
        settings->tls = "all";
    }
    settings->tcp = is_tcp_only(settings->tls);
}

void epx_ucx_settings_choose(const char *address, const char *interface, bool tcp_only,
                             epx_ucx_settings *settings_out)
{
    epx_ucx_settings settings = {0};
    bool fabric = has_fabric();

    add(&settings, "UCX_HANDLE_ERRORS", "none"); /* no signal handlers from a library */
    add(&settings, "UCX_LOG_LEVEL", "fatal");    /* failures are reported by us, in a sentence */
    if (!fabric) /* nothing registers memory: mmap and madvise need not be patched */
        add(&settings, "UCX_MEM_EVENTS", "n");
    choose_tls(&settings, tcp_only || !fabric);
    /* UCX's own keepalive suspends the kernel's; the kernel's finds an idle partition in 4 s. */
    add(&settings, "UCX_KEEPALIVE_INTERVAL", "inf");
    add(&settings, "UCX_TCP_KEEPIDLE", "1s");
    add(&settings, "UCX_TCP_KEEPINTVL", "1s");
    add(&settings, "UCX_TCP_KEEPCNT", "3");
    if (settings.tcp) {
        /* Receives are posted ahead and chunks have a bounded size: over TCP a rendezvous only
         * costs a round trip behind bulk data. */
        add(&settings, "UCX_RNDV_THRESH", "inf");
        add(&settings, "UCX_ZCOPY_THRESH", "4K");
        if (is_loopback(address))
            add(&settings, "UCX_NET_DEVICES", "lo");
        else if (*interface != '\0')
            add(&settings, "UCX_NET_DEVICES", interface);
    }
    *settings_out = settings;
}

const char *epx_ucx_settings_get(const epx_ucx_settings *settings, const char *name)
{
    const char *users = getenv(name);
    int i;

    if (users != NULL)
        return users;
    for (i = 0; i < settings->count; i++)
        if (strcmp(settings->list[i].name, name) == 0)
            return settings->list[i].value;
    return "";
}

epx_status epx_ucx_settings_enter(epx_ucx_settings *settings)
{
    sigset_t all;
    int i;

    pthread_mutex_lock(&environment);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &settings->signals);
    for (i = 0; i < settings->count; i++) {
        if (getenv(settings->list[i].name) != NULL)
            continue;
        if (setenv(settings->list[i].name, settings->list[i].value, 0) != 0) {
            epx_ucx_settings_leave(settings);
            return epx_fail(EPX_ERR_NO_MEMORY, "no memory to set %s", settings->list[i].name);
        }
        settings->list[i].ours = true;
    }
    return EPX_OK;
}

void epx_ucx_settings_leave(epx_ucx_settings *settings)
{
    int i;

    for (i = 0; i < settings->count; i++) {
        if (settings->list[i].ours)
            unsetenv(settings->list[i].name);
        settings->list[i].ours = false;
    }
    pthread_sigmask(SIG_SETMASK, &settings->signals, NULL);
    pthread_mutex_unlock(&environment);
}
