// An emulation of a legacy emit.gg node. emit.gg is not on npm, so this class publishes and writes the same
// data as version 1.0.5 was observed to do. Sockets have no network connection; they record their events.
// The calls for users follow the README of emit.gg, because the implementation of the original fails.

import { randomUUID } from 'node:crypto';

const DAY_S = 86400;

class Socket {
  id = randomUUID();
  rooms = new Set();
  tags = new Set();
  received = [];

  constructor(node) {
    this.node = node;
  }

  emit(event, data) {
    this.received.push({ event, data });
  }

  join(room) {
    this.rooms.add(room);
    this.node.redis.sadd(`emit.gg:room:${room}`, this.id);
    this.node.redis.expire(`emit.gg:room:${room}`, DAY_S);
  }

  leave(room) {
    this.rooms.delete(room);
    this.node.redis.srem(`emit.gg:room:${room}`, this.id);
  }

  tag(tag) {
    this.tags.add(tag);
  }
}

export class Original {
  instance = Math.random().toString(36).slice(2, 10);
  sockets = new Map();

  constructor({ redis, pub, sub }) {
    Object.assign(this, { redis, pub, sub });
    sub.on('message', (channel, text) => this.#receive(channel, text));
  }

  listen() {
    return this.sub.subscribe('emit.gg', 'emit.gg:direct');
  }

  #receive(channel, text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message._instance === this.instance) return;
    if (channel === 'emit.gg') this.#deliver(message.event, message.data, message.to);
    else this.sockets.get(message.targetSocketId)?.emit(message.event, message.data);
  }

  #deliver(event, data, to) {
    for (const socket of this.sockets.values()) {
      const matches = to?.[0] === '#' ? socket.rooms.has(to) : to?.[0] === '*' ? socket.tags.has(to) : true;
      if (matches) socket.emit(event, data);
    }
  }

  async connect() {
    const socket = new Socket(this);
    this.sockets.set(socket.id, socket);
    const entry = { server: this.instance, connectedAt: Date.now() };
    await this.redis.hset('emit.gg:sockets', socket.id, JSON.stringify(entry));
    return socket;
  }

  async disconnect(socket) {
    this.sockets.delete(socket.id);
    for (const room of [...socket.rooms]) socket.leave(room);
    await this.redis.hdel('emit.gg:sockets', socket.id);
  }

  broadcast(event, { data = {}, to, local = false } = {}) {
    this.#deliver(event, data, to);
    if (!local) this.#publish('emit.gg', { event, data, to });
  }

  emitTo(targetSocketId, event, data) {
    const here = this.sockets.get(targetSocketId);
    if (here) here.emit(event, data);
    else this.#publish('emit.gg:direct', { targetSocketId, event, data });
  }

  #publish(channel, message) {
    this.pub.publish(channel, JSON.stringify({ _instance: this.instance, ...message }));
  }

  getRoomSize = (room) => this.redis.scard(`emit.gg:room:${room}`);
  getRoomMembers = (room) => this.redis.smembers(`emit.gg:room:${room}`);
  getTotalSockets = () => this.redis.hlen('emit.gg:sockets');
  getAllSocketIds = () => this.redis.hkeys('emit.gg:sockets');
  socketExists = async (id) => (await this.redis.hexists('emit.gg:sockets', id)) === 1;
  getTagCount = (tag) => this.redis.scard(`emit.gg:tag:${tag}`);
  getTaggedSockets = (tag) => this.redis.smembers(`emit.gg:tag:${tag}`);

  async syncTag(id, tag) {
    await this.redis.sadd(`emit.gg:tag:${tag}`, id);
    await this.redis.expire(`emit.gg:tag:${tag}`, DAY_S);
  }
}

/** The calls for users, for both kinds of node. */
export const users = (node, redis, server) => ({
  setUserOnline: (user, socketId) =>
    redis.hset('emit.gg:users', user, JSON.stringify({ socketId, server, onlineAt: Date.now() })),
  setUserOffline: (user) => redis.hdel('emit.gg:users', user),
  isUserOnline: async (user) => (await redis.hexists('emit.gg:users', user)) === 1,
  getUserSocketId: async (user) => JSON.parse((await redis.hget('emit.gg:users', user)) ?? 'null')?.socketId ?? null,
  async emitToUser(user, event, data) {
    const socket = await this.getUserSocketId(user);
    if (socket) node.emitTo(socket, event, data);
  },
  getOnlineUsers: () => redis.hkeys('emit.gg:users'),
  getOnlineUserCount: () => redis.hlen('emit.gg:users'),
});
