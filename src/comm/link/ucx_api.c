/* ucx_api.c - opening libucp and filling the table; all of it or nothing. */
#include "comm/link/ucx_api.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset; /* of the pointer in epx_ucx_api */
} functions[] = {
#define EPX_X(name) {#name, offsetof(epx_ucx_api, name)},
    EPX_UCX_FUNCTIONS(EPX_X)
#undef EPX_X
};

static epx_status fail_open(const char *library)
{
    const char *reason = dlerror();

    if (reason == NULL)
        reason = library;
    if (strstr(reason, "cannot open shared object file: No such file") != NULL)
        return epx_fail(EPX_ERR_UNSUPPORTED, "UCX is not installed: apt install libucx0");
    return epx_fail(EPX_ERR_UNSUPPORTED, "UCX cannot be loaded: %s", reason);
}

epx_status epx_ucx_api_load(const char *library, epx_ucx_api *api_out)
{
    epx_ucx_api api = {0};
    void *symbol;
    size_t i;

    /* NODELETE: UCX leaves threads, handlers and destructors behind that outlive its last user. */
    api.library = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (api.library == NULL)
        return fail_open(library);
    for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        symbol = dlsym(api.library, functions[i].name);
        if (symbol == NULL) {
            dlclose(api.library);
            return epx_fail(EPX_ERR_UNSUPPORTED, "%s has no %s: UCX 1.11 or newer is needed",
                            library, functions[i].name);
        }
        memcpy((char *)&api + functions[i].offset, &symbol, sizeof(symbol));
    }
    *api_out = api;
    return EPX_OK;
}

void epx_ucx_api_unload(epx_ucx_api *api)
{
    if (api->library != NULL)
        dlclose(api->library);
    api->library = NULL;
}
