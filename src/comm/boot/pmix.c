/* pmix.c - the six calls of libpmix that the boot needs. */
#include "comm/boot/pmix.h"

#include "core/fail.h"

#ifdef EPX_HAVE_PMIX

#include <dlfcn.h>
#include <pmix.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define LIBRARY "libpmix.so.2"
#define CARD_KEY "epx.boot.card"

struct epx_pmix {
    void *library; /* owns; stays loaded: it leaves threads behind */
    pmix_proc_t self;
    pmix_status_t (*init)(pmix_proc_t *, pmix_info_t *, size_t);
    pmix_status_t (*finalize)(const pmix_info_t *, size_t);
    pmix_status_t (*put)(pmix_scope_t, const char *, pmix_value_t *);
    pmix_status_t (*commit)(void);
    pmix_status_t (*fence)(const pmix_proc_t *, size_t, const pmix_info_t *, size_t);
    pmix_status_t (*get)(const pmix_proc_t *, const char *, const pmix_info_t *, size_t,
                         pmix_value_t **);
    const char *(*text)(pmix_status_t);
};

bool epx_pmix_usable(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return false;
    dlclose(library);
    return true;
}

/* A function pointer through a data pointer: what POSIX prescribes for dlsym(). */
static bool find(void *library, const char *name, void *function_out)
{
    void *symbol = dlsym(library, name);

    memcpy(function_out, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static epx_status load(epx_pmix *pmix)
{
    pmix->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (pmix->library == NULL)
        return epx_fail(EPX_ERR_UNSUPPORTED, "%s: %s", LIBRARY, dlerror());
    if (find(pmix->library, "PMIx_Init", &pmix->init) &&
        find(pmix->library, "PMIx_Finalize", &pmix->finalize) &&
        find(pmix->library, "PMIx_Put", &pmix->put) &&
        find(pmix->library, "PMIx_Commit", &pmix->commit) &&
        find(pmix->library, "PMIx_Fence", &pmix->fence) &&
        find(pmix->library, "PMIx_Get", &pmix->get) &&
        find(pmix->library, "PMIx_Error_string", &pmix->text))
        return EPX_OK;
    return epx_fail(EPX_ERR_UNSUPPORTED, "%s lacks a function: %s", LIBRARY, dlerror());
}

static epx_status failed(const epx_pmix *pmix, const char *call, pmix_status_t status)
{
    return epx_fail(status == PMIX_ERR_TIMEOUT ? EPX_ERR_TIMEOUT : EPX_ERR_SYSTEM, "%s: %s", call,
                    pmix->text(status));
}

static pmix_info_t info_bool(const char *key)
{
    pmix_info_t info;

    memset(&info, 0, sizeof(info));
    strncpy(info.key, key, PMIX_MAX_KEYLEN);
    info.value.type = PMIX_BOOL;
    info.value.data.flag = true;
    return info;
}

static pmix_info_t info_seconds(const char *key, uint32_t timeout_ms)
{
    pmix_info_t info;

    memset(&info, 0, sizeof(info));
    strncpy(info.key, key, PMIX_MAX_KEYLEN);
    info.value.type = PMIX_INT;
    info.value.data.integer = (int)(timeout_ms / 1000 + 1);
    return info;
}

static epx_status job_size(const epx_pmix *pmix, int32_t *size_out)
{
    pmix_proc_t job = pmix->self;
    pmix_value_t *value = NULL;
    pmix_status_t status;
    uint32_t size;

    job.rank = PMIX_RANK_WILDCARD;
    status = pmix->get(&job, PMIX_JOB_SIZE, NULL, 0, &value);
    if (status != PMIX_SUCCESS || value == NULL)
        return failed(pmix, "PMIx_Get of the job's size", status);
    size = value->type == PMIX_UINT32 ? value->data.uint32 : 0;
    free(value);
    if (size == 0 || size > INT32_MAX)
        return epx_fail(EPX_ERR_SYSTEM, "PMIx tells a job of %u ranks", size);
    *size_out = (int32_t)size;
    return EPX_OK;
}

epx_status epx_pmix_open(epx_pmix **pmix_out, int32_t *rank_out, int32_t *size_out)
{
    epx_pmix *pmix = epx_mem_alloc("pmix", 1, sizeof(*pmix));
    pmix_status_t status;
    epx_status st;

    if (pmix == NULL)
        return EPX_ERR_NO_MEMORY;
    st = load(pmix);
    if (st != EPX_OK)
        goto err_free;
    status = pmix->init(&pmix->self, NULL, 0);
    if (status != PMIX_SUCCESS) {
        st = failed(pmix, "PMIx_Init", status);
        goto err_free;
    }
    st = job_size(pmix, size_out);
    if (st != EPX_OK)
        goto err_finalize;
    *rank_out = (int32_t)pmix->self.rank;
    *pmix_out = pmix;
    return EPX_OK;

err_finalize:
    pmix->finalize(NULL, 0);
err_free:
    epx_mem_free(pmix);
    return st;
}

void epx_pmix_close(epx_pmix *pmix)
{
    if (pmix == NULL)
        return;
    pmix->finalize(NULL, 0);
    epx_mem_free(pmix);
}

static epx_status publish(const epx_pmix *pmix, void *bytes, size_t n)
{
    pmix_value_t value;
    pmix_status_t status;

    memset(&value, 0, sizeof(value));
    value.type = PMIX_BYTE_OBJECT;
    value.data.bo.bytes = bytes;
    value.data.bo.size = n;
    status = pmix->put(PMIX_GLOBAL, CARD_KEY, &value);
    if (status == PMIX_SUCCESS)
        status = pmix->commit();
    return status == PMIX_SUCCESS ? EPX_OK : failed(pmix, "PMIx_Put", status);
}

static epx_status fetch(const epx_pmix *pmix, void *bytes, size_t n, uint32_t timeout_ms)
{
    /* A second communicator of this process must not get the first one's card. */
    pmix_info_t info[2] = {info_bool(PMIX_GET_REFRESH_CACHE),
                           info_seconds(PMIX_TIMEOUT, timeout_ms)};
    pmix_proc_t host = pmix->self;
    pmix_value_t *value = NULL;
    pmix_status_t status;
    epx_status st = EPX_OK;

    host.rank = 0;
    status = pmix->get(&host, CARD_KEY, info, 2, &value);
    if (status != PMIX_SUCCESS || value == NULL)
        return failed(pmix, "PMIx_Get of rank 0's address", status);
    if (value->type == PMIX_BYTE_OBJECT && value->data.bo.size == n)
        memcpy(bytes, value->data.bo.bytes, n);
    else
        st = epx_fail(EPX_ERR_MISMATCH, "PMIx carries something else than %zu bytes of rank 0", n);
    if (value->type == PMIX_BYTE_OBJECT)
        free(value->data.bo.bytes);
    free(value);
    return st;
}

epx_status epx_pmix_broadcast(epx_pmix *pmix, void *bytes, size_t n, uint32_t timeout_ms)
{
    pmix_info_t info[2] = {info_bool(PMIX_COLLECT_DATA), info_seconds(PMIX_TIMEOUT, timeout_ms)};
    epx_status st = EPX_OK, fetched;
    pmix_status_t status;

    if (pmix->self.rank == 0)
        st = publish(pmix, bytes, n);
    status = pmix->fence(NULL, 0, info, 2);
    if (st == EPX_OK && status != PMIX_SUCCESS)
        st = failed(pmix, "PMIx_Fence", status);
    if (st != EPX_OK || pmix->self.rank == 0)
        return st;
    fetched = fetch(pmix, bytes, n, timeout_ms);
    return fetched;
}

#else /* without PMIx's headers */

bool epx_pmix_usable(void)
{
    return false;
}

epx_status epx_pmix_open(epx_pmix **pmix_out, int32_t *rank_out, int32_t *size_out)
{
    (void)pmix_out;
    (void)rank_out;
    (void)size_out;
    return epx_fail(EPX_ERR_UNSUPPORTED, "epx was built without the headers of PMIx");
}

void epx_pmix_close(epx_pmix *pmix)
{
    (void)pmix;
}

epx_status epx_pmix_broadcast(epx_pmix *pmix, void *bytes, size_t n, uint32_t timeout_ms)
{
    (void)pmix;
    (void)bytes;
    (void)n;
    (void)timeout_ms;
    return epx_fail(EPX_ERR_UNSUPPORTED, "epx was built without the headers of PMIx");
}

#endif
