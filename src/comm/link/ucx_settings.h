/* ucx_settings.h - what UCX is told, and in which surroundings it starts.
 *
 * UCX reads part of its configuration when it is loaded and part when devices are opened, from the
 * environment only. Between enter() and leave() the process has those UCX_* variables that the
 * user has not set, and all signals are blocked, so that UCX's own thread never takes one. */
#ifndef EPX_COMM_LINK_UCX_SETTINGS_H
#define EPX_COMM_LINK_UCX_SETTINGS_H

#include <signal.h>
#include <stdbool.h>

#include "core/fail.h"

#define EPX_UCX_MAX_SETTINGS 12

typedef struct epx_ucx_setting {
    const char *name; /* "UCX_TLS" */
    char value[64];
    bool ours; /* set by enter(), to be removed by leave() */
} epx_ucx_setting;

typedef struct epx_ucx_settings {
    epx_ucx_setting list[EPX_UCX_MAX_SETTINGS];
    int count;
    const char *tls;  /* what UCX will take for TLS; borrowed from the environment or static */
    bool forced_tls;  /* tls is EPX_UCX_TLS, which wins over UCX_TLS */
    bool tcp;         /* tls allows nothing but tcp */
    sigset_t signals; /* to be restored by leave() */
} epx_ucx_settings;

/* address and interface are those of the boot; either may be "". */
void epx_ucx_settings_choose(const char *address, const char *interface, bool tcp_only,
                             epx_ucx_settings *settings_out);

/* The value in force for a variable: the user's, else ours, else "". */
const char *epx_ucx_settings_get(const epx_ucx_settings *settings, const char *name);

/* One at a time in a process: the environment is a single thing. Not for use while another thread
 * of the caller changes or reads the environment without its own care. */
EPX_NODISCARD epx_status epx_ucx_settings_enter(epx_ucx_settings *settings);
void epx_ucx_settings_leave(epx_ucx_settings *settings);

#endif /* EPX_COMM_LINK_UCX_SETTINGS_H */
