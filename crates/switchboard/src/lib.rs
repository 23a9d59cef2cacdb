//! Write a real-time server like an HTTP app: handlers, middleware, rooms, tags, request and reply.
