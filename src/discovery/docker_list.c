#include "discovery/docker_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "conf/node.h"

static struct slice text_of(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? conf_node_get(map, key) : NULL;
    return n && n->kind == CONF_NODE_SCALAR ? n->text : SLICE_NONE;
}

static const struct conf_node *node_of(const struct conf_node *map, const char *key, enum conf_kind kind)
{
    const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? conf_node_get(map, key) : NULL;
    return n && n->kind == kind ? n : NULL;
}

/* -1: it is none from 0 to `max`. */
static int number_of(struct slice text, int max)
{
    int value = 0;
    if (!text.len || text.len > 6) return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value <= max ? value : -1;
}

/* The only one; 0: there is none, or there are several. */
static int only_port(const struct conf_node *container)
{
    const struct conf_node *ports = node_of(container, "Ports", CONF_NODE_LIST);
    int only = 0;
    for (const struct conf_node *p = ports ? ports->first_child : NULL; p; p = p->next) {
        int port = number_of(text_of(p, "PrivatePort"), 65535);
        if (!slice_equal(text_of(p, "Type"), SLICE("tcp")) || port <= 0 || port == only) continue;
        if (only) return 0;
        only = port;
    }
    return only;
}

static bool read_network(const struct conf_node *network, struct ip *out)
{
    return ip_parse(text_of(network, "IPAddress"), out) ||
           ip_parse(text_of(network, "GlobalIPv6Address"), out);
}

/* In the network that is meant, else in the first in which it has one. */
static bool find_address(const struct conf_node *container, struct slice network, struct ip *out)
{
    const struct conf_node *settings = node_of(container, "NetworkSettings", CONF_NODE_MAP);
    const struct conf_node *networks = node_of(settings, "Networks", CONF_NODE_MAP);
    for (const struct conf_node *n = networks ? networks->first_child : NULL; n; n = n->next)
        if ((!network.len || slice_equal(n->key, network)) && read_network(n, out)) return true;
    return false;
}

static bool contains(struct slice text, const char *part)
{
    return text.len && memmem(text.data, text.len, part, strlen(part));
}

static bool is_ready(const struct conf_node *container)
{
    struct slice state = text_of(container, "State"), status = text_of(container, "Status");
    return (!state.len || slice_equal(state, SLICE("running"))) && !contains(status, "(unhealthy)") &&
           !contains(status, "(health: starting)");
}

/* "/app-1" without the slash, and what no path and no log could bear. */
static void read_name(const struct conf_node *container, char out[FOUND_NAME_MAX + 1])
{
    const struct conf_node *names = node_of(container, "Names", CONF_NODE_LIST);
    const struct conf_node *first = names ? names->first_child : NULL;
    struct slice name = first && first->kind == CONF_NODE_SCALAR ? first->text : text_of(container, "Id");
    size_t len = 0;
    for (size_t i = 0; i < name.len && len < FOUND_NAME_MAX; i++) {
        char c = name.data[i];
        bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
        if (is_fine) out[len++] = c;
    }
    out[len] = 0;
}

/* NULL, or what it lacks. */
static const char *read_container(const struct conf_node *container, struct found *f)
{
    const struct conf_node *labels = node_of(container, "Labels", CONF_NODE_MAP);
    struct slice port_label = text_of(labels, "weir.port"), weight = text_of(labels, "weir.weight");
    struct ip ip;
    int port = port_label.len ? number_of(port_label, 65535) : only_port(container);
    if (port <= 0)
        return port_label.len ? "its weir.port is no port"
                              : "it exposes no port or several: give it the label weir.port";
    if (!find_address(container, text_of(labels, "weir.network"), &ip))
        return "it has no address in a network, or not in that of weir.network";
    if (weight.len && number_of(weight, BALANCE_WEIGHT_MAX) < 0) return "its weir.weight is no weight";
    f->address = address_from_ip(&ip, (uint16_t)port);
    f->has_weight = weight.len > 0;
    f->weight = weight.len ? (uint32_t)number_of(weight, BALANCE_WEIGHT_MAX) : 0;
    return NULL;
}

static void read_all(const struct conf_node *list, struct docker_list *out)
{
    for (const struct conf_node *c = list->first_child; c && out->count < DOCKER_LIST_MAX; c = c->next) {
        struct found *f = &out->found[out->count];
        if (c->kind != CONF_NODE_MAP || !is_ready(c)) continue;
        *f = (struct found){ 0 };
        read_name(c, f->name);
        const char *lack = read_container(c, f);
        if (!lack) {
            out->count++;
            continue;
        }
        out->left_out++;
        out->left_out_why = lack;
        memcpy(out->left_out_name, f->name, sizeof(f->name));
    }
}

/* What Docker says itself: {"message": "…"}. */
static int refuse_status(struct slice answer, struct err *err)
{
    struct slice line = answer;
    const char *end = memchr(line.data, '\r', line.len);
    if (end) line.len = (size_t)(end - line.data);
    return err_set(err, "Docker answers \"%.*s\"", (int)(line.len < 80 ? line.len : 80), line.data);
}

static int read_body(struct slice body, struct docker_list *out, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return err_set(err, "there is no memory to read it");
    int result = conf_read_json(&tree, "Docker", body, faults);
    if (result < 0)
        err_set(err, "Docker's answer is no JSON: %s",
                faults->count ? faults->items[0].message : "it is too large");
    else if (tree.root->kind != CONF_NODE_LIST)
        result = err_set(err, "Docker's answer is no list of containers");
    else
        read_all(tree.root, out);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

int docker_list_read(struct slice answer, struct docker_list *out, struct err *err)
{
    const char *end = answer.len ? memmem(answer.data, answer.len, "\r\n\r\n", 4) : NULL;
    out->count = out->left_out = 0;
    if (!end) return err_set(err, "Docker's answer ends before its head does");
    bool is_ok = answer.len > 13 && memcmp(answer.data, "HTTP/1.", 7) == 0 &&
                 memcmp(answer.data + 8, " 200", 4) == 0;
    if (!is_ok) return refuse_status(answer, err);
    return read_body((struct slice){ end + 4, answer.len - (size_t)(end + 4 - answer.data) }, out, err);
}
