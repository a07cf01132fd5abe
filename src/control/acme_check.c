#include "control/acme_check.h"

#include <stdio.h>
#include <string.h>

#include "acme/attempt.h"
#include "conf/decoding.h"
#include "control/acme_plan.h"

#define HTTP_PORT 80
#define HTTPS_PORT 443

struct checking {
    struct conf_decode *d;
    const struct conf_node *root;
    struct config *c;
    const char *folder;
};

static bool wants_any(const struct config *c)
{
    const struct listener_conf *l = c->proxy.listeners.data;
    for (uint32_t i = 0; i < c->proxy.listeners.count; i++)
        if (l[i].tls && tls_conf_has_acme(l[i].tls)) return true;
    return false;
}

static const char *first_name(const struct tls_certificate_conf *c)
{
    return *(const char *const *)c->acme.data;
}

static bool is_same_list(const struct conf_items *a, const struct conf_items *b)
{
    const char *const *x = a->data, *const *y = b->data;
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(x[i], y[i]) != 0) return false;
    return true;
}

/* A certificate's file goes by its first name. */
static void check_alone(const struct checking *k, const struct conf_node *node,
                        const struct tls_certificate_conf *one)
{
    const struct listener_conf *l = k->c->proxy.listeners.data;
    for (uint32_t i = 0; i < k->c->proxy.listeners.count; i++) {
        const struct tls_certificate_conf *c = l[i].tls ? l[i].tls->certificates.data : NULL;
        for (uint32_t n = 0; c && n < l[i].tls->certificates.count; n++) {
            if (&c[n] == one) return; /* each pair once */
            if (!c[n].acme.count || strcmp(first_name(&c[n]), first_name(one)) != 0) continue;
            if (is_same_list(&c[n].acme, &one->acme)) continue;
            conf_decode_fault(k->d, node, "acme", "write the same names, or put another of them first",
                              "listener \"%s\" has another certificate whose first name is %s, too",
                              l[i].name, first_name(one));
            return;
        }
    }
}

static void place(const struct checking *k, const struct conf_node *node, struct tls_certificate_conf *c)
{
    char path[ACME_PATH_ROOM];
    if (!acme_folder_file(k->folder, first_name(c), acme_key_kind_name(k->c->acme->key), path, sizeof(path)))
        conf_decode_fault(k->d, node, "acme", "keep it in a folder nearer to the root",
                          "the file's path is too long");
    else
        c->file = conf_arena_copy(k->d->arena, slice_of(path));
}

static void check_listener(const struct checking *k, const struct conf_node *node, struct tls_conf *tls)
{
    struct tls_certificate_conf *c = tls->certificates.data;
    const struct conf_node *list = conf_node_get(node, "certificates");
    for (uint32_t i = 0; i < tls->certificates.count; i++) {
        const struct conf_node *at = conf_node_nth(list, i);
        if (!c[i].acme.count) continue;
        check_alone(k, at ? at : node, &c[i]);
        place(k, at ? at : node, &c[i]);
    }
    tls_conf_read(k->d, node, tls);
}

/* The CA comes to one port and no other; that a router in front leads it elsewhere cannot be seen here. */
static void check_port(const struct checking *k)
{
    const struct listener_conf *l = k->c->proxy.listeners.data;
    bool is_http = k->c->acme->challenge == ACME_HTTP_01, is_there = false;
    for (uint32_t i = 0; i < k->c->proxy.listeners.count; i++) {
        bool is_fit = is_http ? l[i].protocol == LISTENER_HTTP && !l[i].tls : l[i].tls != NULL;
        if (is_fit && address_port(&l[i].bind) == (is_http ? HTTP_PORT : HTTPS_PORT)) is_there = true;
    }
    if (is_there) return;
    if (is_http)
        conf_decode_note(
            k->d, conf_node_get(k->root, "acme"), NULL,
            "add a listener: plain: {bind: \":80\", redirect: https}; or write challenge: tls-alpn-01",
            "the CA comes to port 80 (http-01), and no plain listener is bound to it");
    else
        conf_decode_note(k->d, conf_node_get(k->root, "acme"), NULL,
                         "bind one to it, or write challenge: http-01",
                         "the CA comes to port 443 (tls-alpn-01), and no listener with `tls` is bound to it");
}

void acme_check(struct conf_decode *d, const struct conf_node *root, struct config *c)
{
    struct checking k = { d, root, c, NULL };
    char room[4096];
    if (conf_decode_fault_count(d)) return;
    if (!wants_any(c)) {
        if (c->acme)
            conf_decode_note(d, root, "acme",
                             "write {acme: [NAME]} among the `certificates` of a listener's `tls`",
                             "no listener has a certificate that a CA is to issue");
        return;
    }
    if (!c->acme) {
        conf_decode_fault(d, root, NULL,
                          "add acme: {email: YOU@EXAMPLE.ORG, terms_agreed: true} beside the listeners",
                          "a certificate is to be issued by a CA, and nothing says by which");
        return;
    }
    if (!(k.folder = acme_plan_folder(c, room))) {
        conf_decode_fault(d, root, "acme", "add state: /var/lib/weir beside the listeners",
                          "there is no folder to keep the account and the certificates in");
        return;
    }
    const struct listener_conf *l = c->proxy.listeners.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(root, "listeners"), 0);
    for (uint32_t i = 0; at && i < c->proxy.listeners.count; i++, at = at->next)
        if (l[i].tls && tls_conf_has_acme(l[i].tls)) check_listener(&k, conf_node_get(at, "tls"), l[i].tls);
    check_port(&k);
}
