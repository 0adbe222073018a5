create table notes (id int generated always as identity primary key, text text not null);
