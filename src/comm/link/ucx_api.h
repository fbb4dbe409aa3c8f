/* ucx_api.h - the functions of libucp that the link calls, found at run time.
 *
 * libepx does not link UCX: a machine without it still runs everything inside a node. */
#ifndef EPX_COMM_LINK_UCX_API_H
#define EPX_COMM_LINK_UCX_API_H

#include <ucp/api/ucp.h>

#include "core/fail.h"

#define EPX_UCX_LIBRARY "libucp.so.0"

#define EPX_UCX_FUNCTIONS(X)                                                                       \
    X(ucp_get_version_string)                                                                      \
    X(ucp_config_read)                                                                             \
    X(ucp_config_modify)                                                                           \
    X(ucp_config_release)                                                                          \
    X(ucp_init_version)                                                                            \
    X(ucp_cleanup)                                                                                 \
    X(ucp_worker_create)                                                                           \
    X(ucp_worker_destroy)                                                                          \
    X(ucp_worker_get_address)                                                                      \
    X(ucp_worker_release_address)                                                                  \
    X(ucp_worker_get_efd)                                                                          \
    X(ucp_worker_arm)                                                                              \
    X(ucp_worker_progress)                                                                         \
    X(ucp_worker_set_am_recv_handler)                                                              \
    X(ucp_ep_create)                                                                               \
    X(ucp_ep_close_nbx)                                                                            \
    X(ucp_ep_flush_nbx)                                                                            \
    X(ucp_ep_print_info)                                                                           \
    X(ucp_am_send_nbx)                                                                             \
    X(ucp_tag_send_nbx)                                                                            \
    X(ucp_tag_recv_nbx)                                                                            \
    X(ucp_tag_probe_nb)                                                                            \
    X(ucp_tag_msg_recv_nbx)                                                                        \
    X(ucp_request_cancel)                                                                          \
    X(ucp_request_free)                                                                            \
    X(ucs_status_string)

typedef struct epx_ucx_api {
    void *library;                          /* from dlopen; owns */
#define EPX_X(name) __typeof__(name) *name; /* NOLINT: a declaration takes no parentheses */
    EPX_UCX_FUNCTIONS(EPX_X)
#undef EPX_X
} epx_ucx_api;

/* Loads `library` (EPX_UCX_LIBRARY outside tests). Missing: EPX_ERR_UNSUPPORTED, and the sentence
 * says which package to install. */
EPX_NODISCARD epx_status epx_ucx_api_load(const char *library, epx_ucx_api *api_out);
void epx_ucx_api_unload(epx_ucx_api *api); /* accepts one that was never loaded */

#endif /* EPX_COMM_LINK_UCX_API_H */
