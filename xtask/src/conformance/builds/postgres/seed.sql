CREATE TABLE told (id serial PRIMARY KEY, word text NOT NULL);
INSERT INTO told (word) VALUES ('answered'), ('twice');
